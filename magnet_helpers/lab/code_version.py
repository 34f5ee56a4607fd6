"""Which code made a number: a short hash of all definitions that it passed through.

From entry points on, every name is followed to the definition of this package that it stands for, through imports of
any kind. What counts is the set of the definitions reached, as canonical texts (`canonical`), and which of them each
one names, wherever they stand.

- A definition is a statement at the top of a module; a class counts as a whole. Statements that define nothing count as
  soon as anything of their module does, and so does what a decorator hands over to another definition.
- An annotation does not count, but the classes that it names do: their methods are called.
- What comes in without an annotation by a class of this package (a loss, a network, an attack) is the caller's to name.
- What other packages do counts by its name alone.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from magnet_helpers.lab.canonical import PACKAGE, Writer, bound_names, has_no_effect, is_ours

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_DEFINING = (*_NAMED, ast.Assign, ast.AnnAssign, ast.AugAssign)


def code_version(*entries: object, apart: Iterable[object] = (), root: Path | None = None) -> str:
    """Return a short hash of what the entries do, and of all code of this package that they pass through.

    Args:
        entries: functions and classes, or texts: `"models:ConvClassifier"` for a definition of a module of this
            package, `"models"` for all of a module's. A function or class of another package counts by its name.
        apart: entries that count by their name alone, because all that they decide is in a key beside this hash.
        root: the folder that holds another checkout's `magnet_helpers/`; None: this package, each file read once.

    Raises:
        TypeError: if an entry is no function, class or text.
        ValueError: if a module or definition is not there.
    """
    paths, paths_apart = (tuple(_path_of(entry) for entry in group) for group in (entries, apart))
    return _version_here(paths, paths_apart) if root is None else _version(_Package(root), paths, paths_apart)


@cache
def package_version() -> str:
    """Return the hash of all code of this package."""
    root = Path(__file__).resolve().parents[1]
    modules = (".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py"))
    return code_version(*sorted(module for module in modules if "__" not in module))


def reached(*entries: object, apart: Iterable[object] = (), root: Path | None = None) -> dict[str, str]:
    """Return what counts: each definition that is reached (`"models.ConvClassifier"`) with a short hash of its own.

    Compare two results to see which definitions made two versions differ. Arguments and errors as in `code_version`.
    """
    package = _package_here() if root is None else _Package(root)
    away = {_path_of(entry) for entry in apart}
    named, found = package.reach((_path_of(entry) for entry in entries), away)
    return named | {statement.label: package.digest(statement, away) for statement in found}


@cache
def _package_here() -> "_Package":
    return _Package(Path(__file__).resolve().parents[2])


@cache
def _version_here(paths: tuple[str, ...], apart: tuple[str, ...]) -> str:
    return _version(_package_here(), paths, apart)


def _version(package: "_Package", paths: Iterable[str], apart: Iterable[str]) -> str:
    away = set(apart)
    named, found = package.reach(paths, away)
    return _short_hash(*sorted({*named.values(), *package.digests(found, away)}))


def _short_hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _path_of(entry: object) -> str:
    if isinstance(entry, str):
        return f"{PACKAGE}.{entry.replace(':', '.')}"
    module, name = getattr(entry, "__module__", None), getattr(entry, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError(f"an entry must be a function, a class or a text like 'models:ConvClassifier', got {entry!r}")
    return f"{module}.{name.split('.')[0] if is_ours(module) else name}"  # of a method: its class


class _Statement:
    """A statement at the top of a module, and its text once it is asked for."""

    def __init__(self, module: "_Module", node: ast.stmt, label: str) -> None:
        self.module, self.node, self.label = module, node, label
        self.written: tuple[str, Writer] | None = None


class _Module:
    """What a module's statements define, what its imports bind, and which statements count whenever the module does."""

    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self.package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        self.imports: dict[str, str] = {}
        self.statements: list[_Statement] = []
        self.definitions: dict[str, list[_Statement]] = {}
        self.always: list[_Statement] = []
        for number, node in enumerate(ast.parse(file.read_text(encoding="utf-8"), str(file)).body, start=1):
            bound = list(bound_names(node, self.package))
            self.imports |= {bound_name: path for bound_name, path in bound if path}
            defined = [bound_name for bound_name, path in bound if not path]
            if has_no_effect(node) or defined == ["__all__"]:
                continue
            label = f"{name}.{defined[0]}" if defined else name
            is_more = not defined or defined[0] in self.definitions
            label = f"{label}, statement {number}" if is_more else label
            statement = _Statement(self, node, label.removeprefix(f"{PACKAGE}."))
            self.statements.append(statement)
            for defined_name in defined:
                self.definitions.setdefault(defined_name, []).append(statement)
            if not defined or not isinstance(node, _DEFINING) or self._hands_over(node):
                self.always.append(statement)
        for name_of_both in self.imports.keys() & self.definitions.keys():
            self.always += self.definitions[name_of_both]
        self.names = {defined: f"{name}.{defined}" for defined in self.definitions} | self.imports

    def _hands_over(self, node: ast.stmt) -> bool:
        """Whether a decorator, such as `@overload(function)` or `@function.register`, tells another definition."""
        for decorator in node.decorator_list if isinstance(node, _NAMED) else []:
            callee = decorator.func if isinstance(decorator, ast.Call) else decorator
            names = {part.id for part in ast.walk(decorator) if isinstance(part, ast.Name) and part is not callee}
            if any(name in self.definitions or is_ours(self.imports.get(name, "")) for name in names):
                return True
        return False


class _Package:
    """The package in one folder. A module is read when it is first reached."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, _Module | None] = {}

    def module(self, name: str) -> _Module | None:
        """Return the module with this full name, None if there is none."""
        if name not in self.modules:
            place = self.root.joinpath(*name.split("."))
            files = [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
            self.modules[name] = _Module(name, files[0]) if files else None
        return self.modules[name]

    def follow(self, path: str, passed: set[str]) -> str:
        """Return where a path of this package is defined; modules that only hand it on are added to `passed`."""
        while is_ours(path):
            parent, _, name = path.rpartition(".")
            module = self.module(parent) if parent else None
            imported = module.imports.get(name, path) if module else path
            if imported != path:
                passed.add(parent)
                path = imported
            elif (module and (name in module.definitions or name.startswith("__"))) or self.module(path):
                break  # defined here, or what every module has, as `__file__`
            else:
                raise ValueError(f"there is no module or definition {path}: name the module that defines it")
        return path

    def statements(self, path: str) -> list[_Statement]:
        """Return the statements that define what stands at this path; of a module, all."""
        parent, _, name = path.rpartition(".")
        module = self.module(parent) if parent else None
        if module and name in module.definitions:
            return module.definitions[name]
        whole = self.module(path)
        return whole.statements if whole else []

    def writer(self, module: _Module) -> Writer:
        return Writer(module.names, module.package, self.follow, lambda path: self.module(path) is not None)

    def written(self, statement: _Statement) -> tuple[str, Writer]:
        """Return the text of a statement, and the writer that noted what it names."""
        if statement.written is None:
            writer = self.writer(statement.module)
            statement.written = writer.write(statement.node, {}), writer
        return statement.written

    def digest(self, statement: _Statement, apart: set[str]) -> str:
        """Return the hash of a definition: of its text, and of the texts of what it names, for names may be shared."""
        named = self.named_by(statement, apart)
        return _short_hash(self.written(statement)[0], *(_short_hash(self.written(each)[0]) for each in named))

    def digests(self, statements: Iterable[_Statement], apart: set[str]) -> set[str]:
        """Return the hashes of definitions, in each of which is all that it names, however deep.

        Two may have one text and name different things of one name. So each hash is made again, of the text and of the
        hashes of what it names, until that tells no more of them apart (colour refinement). Those that name each other
        need nothing of their own, and where no two have one text, each hash is that of `digest`.
        """
        texts = {statement: self.written(statement)[0] for statement in statements}
        named = {statement: self.named_by(statement, apart) for statement in texts}
        hashes = {statement: _short_hash(text) for statement, text in texts.items()}
        while True:
            told_apart = len(set(hashes.values()))
            hashes = {each: _short_hash(text, *(hashes[name] for name in named[each])) for each, text in texts.items()}
            if len(set(hashes.values())) == told_apart:  # never fewer, and from here on never more
                return set(hashes.values())

    def named_by(self, statement: _Statement, apart: set[str]) -> list[_Statement]:
        """Return the definitions that one names, in the order of its text, but for what is apart."""
        named = self.written(statement)[1].named
        return [definition for path in named if path not in apart for definition in self.statements(path)]

    def reach(self, entries: Iterable[str], apart: set[str]) -> tuple[dict[str, str], list[_Statement]]:
        """Return the hashes of what counts by its name, because it is apart or not ours, and all other definitions."""
        counted: dict[str, str] = {}
        found: dict[str, _Statement] = {}
        modules: set[str] = set()
        paths = [(path, True) for path in entries]  # whether a path was named by code, or by an annotation
        done: set[tuple[str, bool]] = set()
        while paths:
            path, is_code = paths.pop()
            if (path, is_code) in done:
                continue
            done.add((path, is_code))
            if not is_ours(path):
                counted[path] = _short_hash(path)
                continue
            passed: set[str] = set()
            path = self.follow(path, passed)
            if path in apart:
                counted[path] = _short_hash(path.rpartition(".")[2])
                continue
            todo = list(self.statements(path))
            if not is_code and not any(isinstance(statement.node, ast.ClassDef) for statement in todo):
                paths += [(named, False) for statement in todo for named in self._types_in(statement)]
                continue
            while todo:
                statement = todo.pop()
                if statement.label in found:
                    continue
                writer = self.written(statement)[1]
                found[statement.label] = statement
                paths += [(named, True) for named in writer.named] + [(named, False) for named in writer.types]
                for name in {statement.module.name, *writer.passed, *passed} - modules:
                    modules.add(name)
                    module = self.module(name)
                    todo += module.always if module else []
        return counted, list(found.values())

    def _types_in(self, statement: _Statement) -> list[str]:
        """Return what another name for types, such as `Pair = tuple[Image, Image]`, stands for."""
        writer = self.writer(statement.module)
        writer.annotation(getattr(statement.node, "value", None), {})
        return writer.types
