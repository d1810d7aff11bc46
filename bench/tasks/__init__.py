"""One file a task: its setting, problem, explanation and scores."""
