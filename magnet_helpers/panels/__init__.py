"""The lessons' panels: sliders and menus."""
