"""Running a site: backups, restoring, moving, and what is wrong with it."""
