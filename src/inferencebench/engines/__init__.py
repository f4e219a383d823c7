"""Stage `engines`: inference engines, each a launcher text and its facts."""
