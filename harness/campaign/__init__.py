"""Many releases on one warm platform: side by side in lanes, repeated for a probability, each judged by itself."""
