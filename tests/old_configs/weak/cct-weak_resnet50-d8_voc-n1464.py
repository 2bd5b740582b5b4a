# 1464 label maps and image-level labels of the other 9118 images (Table 1: 73.2 mIoU).
_base_ = '../cct/cct_resnet50-d8_voc-n1464.py'
load_from = 'work_dirs/classifier_resnet50-d8_voc/iter_6490.pth'
model = dict(weak_weight=dict(final=0.4, shape='exp', length=0.1))
train_dataloader = dict(
    sampler=dict(unlabeled_per_batch=0, weak_per_batch=10),
    dataset=dict(
        domains=dict(
            voc=dict(
                _delete_=True,
                labeled={{_base_.voc_n1464_weak.labeled}},
                weak={{_base_.voc_n1464_weak.weak}},
            )
        )
    ),
)
