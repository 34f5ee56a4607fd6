"""Where this checkout lies: what builds, grades and measures needs its sources, and is in no wheel."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
