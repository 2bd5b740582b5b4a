# What every run shares. `cct_mm` registers itself into mmseg's registries when it is imported.
default_scope = 'mmseg'
custom_imports = dict(imports=['cct_mm'], allow_failed_imports=False)
custom_hooks = [
    dict(type='TrainingProgressHook'),
    dict(type='DomainCheckHook'),
    dict(type='AgreementHook'),
    dict(type='DataCheckHook'),
    dict(type='DivergenceHook'),
    dict(type='PooledNormsHook'),
    dict(type='LostValidationHook'),
]
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # cct_mm's, which writes whole files; the one before is kept in case the newest gets damaged.
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=100,
        max_keep_ckpts=2,
        save_best='mIoU',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Two images of each domain in every validation, for TensorBoard and vis_data/vis_image.
    visualization=dict(type='DomainVisualizationHook', val_pictures=2),
)
env_cfg = dict(cudnn_benchmark=True, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
randomness = dict(seed=0)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
# Test-time augmentation (paper, Supplement F and Table 9): five scales, as is and mirrored. It
# follows the pipelines of the test images, so that the scales are of the size that these make.
tta_model = dict(type='DomainTTAModel')
tta_pipeline = [
    dict(type='UnpackInputs'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=factor, keep_ratio=True)
                for factor in (0.5, 0.75, 1.0, 1.25, 1.5)
            ],
            [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

val_evaluator = dict(type='DomainIoUMetric')
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
