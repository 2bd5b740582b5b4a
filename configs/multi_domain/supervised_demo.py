# What `make demo` trains, by labels alone: both domains of ToyScenesDemo in one network.
_base_ = './supervised_toy.py'

root = '{{$CCT_MM_DATA:data}}/ToyScenesDemo/'
day, night = dict(data_root=root + 'day'), dict(data_root=root + 'night')
evaluated = dict(dataset=dict(domains=dict(day=dict(labeled=day), night=dict(labeled=night))))
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            day=dict(labeled=day, unlabeled=day), night=dict(labeled=night, unlabeled=night)
        )
    )
)
val_dataloader = evaluated
test_dataloader = evaluated

# Cross-entropy with class weights 1 / sqrt(frequency in n12), of mean 1 over pixels: without them
# thin lamps are soon lost in the dark.
day_loss = dict(type='CrossEntropyLoss', class_weight=[0.85, 0.78, 1.1, 1.82, 1.98])
night_loss = dict(type='CrossEntropyLoss', class_weight=[0.89, 0.74, 1.19, 2.3, 1.54])

# z is at stride 4, from maps of stride 4, 8 and 16: the encoder's last stage is left out, which
# saves a third of the time. The head looks at neighborhoods and resizes its logits bilinearly, so
# that pictures of its predictions have neither blocks nor streaks.
model = dict(
    backbone=dict(out_indices=(1, 2, 3), output_stride=32),
    neck=dict(in_channels=(24, 40, 112), mid_channels=32),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=128,
        in_index=2,
        channels=32,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
    ),
    domains=dict(
        day=dict(decode_head=dict(loss_decode=day_loss)),
        night=dict(decode_head=dict(loss_decode=night_loss)),
    ),
)
