"""Studies of many runs: losses and numbers of pairs, protocols side by side, AP over image height."""
