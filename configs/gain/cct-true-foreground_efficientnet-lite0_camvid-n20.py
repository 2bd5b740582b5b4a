# Obj-Msk, Con-Msk and G-Cutout mask true objects: a bound, which reads the labels of the unlabeled
# images. They are a weak source, as those of unlabeled ones may not be loaded; L_w is not computed.
_base_ = '../cct/cct_efficientnet-lite0_camvid-n20.py'
custom_imports = dict(imports=['cct_mm', 'cct_mm.lab.gain.true_foreground'])
model = dict(type='CCTWithTrueForeground')
train_dataloader = dict(
    sampler=dict(unlabeled_per_batch=0, weak_per_batch=4),
    dataset=dict(
        domains=dict(
            camvid=dict(
                _delete_=True,
                labeled={{_base_.camvid_n20.labeled}},
                weak=dict(
                    type='CamVidDataset',
                    data_root={{_base_.camvid_n20.labeled.data_root}},
                    labeled=True,
                    ann_file='{{ fileDirname }}/camvid_n20_unlabeled_masks.txt',
                    pipeline={{_base_.camvid_n20.labeled.pipeline}},
                ),
            )
        )
    ),
)
