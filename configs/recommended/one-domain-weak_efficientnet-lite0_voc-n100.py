# The recommended recipe with image-level labels for the images without label maps, as in
# weak/cct-weak_efficientnet-lite0_voc-n100.py.
_base_ = './one-domain_efficientnet-lite0_voc-n100.py'
load_from = 'work_dirs/classifier_efficientnet-lite0_voc/iter_400.pth'
model = dict(weak_weight=dict(final=0.4, shape='exp', length=0.1))
train_dataloader = dict(
    sampler=dict(unlabeled_per_batch=0, weak_per_batch=4),
    dataset=dict(
        domains=dict(
            voc=dict(
                _delete_=True,
                labeled={{_base_.voc_n100_weak.labeled}},
                weak={{_base_.voc_n100_weak.weak}},
            )
        )
    ),
)
