"""Many trainings: the report again, CFP again, a search, folds."""
