"""What traffic a load sends: when each request starts (shapes, pacing) and what it asks for (routes). Nothing here does I/O.

Imported both as `traffic` (Locust puts the folder of its locustfile on the path) and as `loadtest.traffic` (the tests).
"""
