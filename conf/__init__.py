"""The configuration: one yaml per method, data set, model, task and experiment."""
