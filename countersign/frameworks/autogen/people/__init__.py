"""People as AutoGen agents meet them: reviewers, user proxies, decisions."""
