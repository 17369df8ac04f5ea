"""How finely the time is counted from an act of the admin API to its effect in this process."""

from typing import Final

# Seconds. One is promised. A poll without NOTIFY takes 15; if the database was away, it takes as
# long as that.
EFFECT_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0)
