"""What a lesson gets its networks and numbers from: budgets, tasks, a store of what was made, and who makes it."""
