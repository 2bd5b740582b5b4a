# One dataloader for each split, over all domains; a config fills in its domains and counts.
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='AlternatingDomainSampler', labeled_per_batch=4, unlabeled_per_batch=0),
    dataset=dict(type='MultiDomainDataset'),
)
# One image at a time: those of different domains, or at their own size, have different sizes.
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset'),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset'),
)
