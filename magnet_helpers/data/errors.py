"""The errors of images that cannot be had, or are not what they should be."""


class DataError(ValueError):
    """Images or labels cannot be had, or are not what they should be; the message says why."""


class WrongFileError(DataError):
    """A file was read, and its contents are not what they should be. It lies where it lay: no such file is removed."""
