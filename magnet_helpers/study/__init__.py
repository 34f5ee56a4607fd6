"""The paper's grid and the attack study: what is measured, what was published, the results and their tables."""
