"""Sessions of the console: sealed into a cookie, so that no writer of the database makes one."""
