"""Quantities in Kubernetes' canonical spelling: what comes back compares equal. Pure."""


def milli(text: str) -> int:
    """Thousandths of a CPU from `500m`, `2` or `0.5`."""
    return int(text[:-1]) if text.endswith("m") else round(float(text) * 1000)


def cpu(thousandths: int) -> str:
    """A CPU quantity as Kubernetes writes it: whole CPUs without the m."""
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def mebibytes(amount: int) -> str:
    """A memory quantity as Kubernetes writes it: the largest unit that leaves no rest."""
    return f"{amount}Mi" if amount % 1024 else f"{amount // 1024}Gi"
