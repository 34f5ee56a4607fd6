"""How fast the course's work is, side by side with what a reader would write otherwise: `make bench`."""
