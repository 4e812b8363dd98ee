"""The `bitfold` command: one file a command or a family of them."""
