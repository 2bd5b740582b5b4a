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


def evaluation_pipeline(config: Mapping, domain: str) -> list[dict] | None:
    """Return the transforms that a domain's images go through in evaluation, labels included.

    Args:
        config: A whole config. Where it does not evaluate the domain, it may have a
            ``test_pipeline``, as mmseg's configs do.
        domain: Name of the domain.

    Returns:
        Their configs, or None if the config has none.
    """
    source = evaluation_source(config, domain)
    if source is not None:
        return source.get('pipeline', [])
    pipeline = config.get('test_pipeline')
    # A network puts one there itself, for mmseg, which asks the domains.
    return None if pipeline and pipeline[-1]['type'] == 'DomainPipeline' else pipeline
