"""What builds the lessons and pages, hands out and grades coursework, and measures speed; not in the wheel."""
