"""A workspace folder: where everything lies in it, who may write there, and how a file is written whole."""
