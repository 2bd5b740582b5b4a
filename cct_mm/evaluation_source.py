"""What a config says about the images that a domain is evaluated on."""

from collections.abc import Mapping


def evaluation_source(config: Mapping, domain: str) -> dict | None:
    """Return the config of the data set that a domain is tested on, or else validated.

    Args:
        config: A whole config.
        domain: Name of the domain.

    Returns:
        The config, out of wrappers such as ``ConcatDataset``; None where no such domain is there.
    """
    for loader in ('test_dataloader', 'val_dataloader'):
        sources = (config.get(loader) or {}).get('dataset', {}).get('domains', {}).get(domain)
        if sources:
            source = next(iter(sources.values()))
            while inner := source.get('datasets', [source.get('dataset')])[0]:
                source = inner
            return source
    return None
