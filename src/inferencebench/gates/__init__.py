"""Stage `gates`: may this measurement count? Quality and integrity."""
