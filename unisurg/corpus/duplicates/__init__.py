"""Footage that is in the corpus more than once: frames alike, votes over time, clusters of videos.

`search` finds frames that look alike, `votes` asks whether they do so in step, `pairs` goes through
all videos in blocks, `clusters` says which copy stays. The method: docs/duplicates.md.
"""
