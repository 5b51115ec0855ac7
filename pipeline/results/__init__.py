"""What stages measured: the tables under results/, and how they read as text."""
