"""When, where and with how many retries the graph of dvc.yaml runs: Prefect's part."""
