"""What the commands of crface do, one module each, named as the command."""
