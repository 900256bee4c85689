"""Images: folders and archives of them, and tables that name them, become tasks."""
