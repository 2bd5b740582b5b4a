"""Templates of a domain file and of configs; ``<< >>``, because ``{{ }}`` is mmengine's."""

import pprint
import textwrap
from typing import Any

from jinja2 import Environment, StrictUndefined

_ENVIRONMENT = Environment(
    block_start_string='<%',
    block_end_string='%>',
    variable_start_string='<<',
    variable_end_string='>>',
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)


def _literal(value: Any, indent: int) -> str:
    """Write a value as Python; where it is long, further lines begin with blanks."""
    text = pprint.pformat(value, width=100 - indent, compact=True)
    return text.replace('\n', '\n' + ' ' * indent)


def _comment(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent='# ', subsequent_indent='#   ')


_ENVIRONMENT.filters |= {'literal': _literal, 'comment': _comment}

DOMAIN = _ENVIRONMENT.from_string(
    """\
<% for note in notes %>
<< note | comment >>
<% endfor %>
# Written by tools/new_domain.py, and yours to change.
data_root = << root | literal(0) >>
lists = '{{ fileDirname }}/lists'

<< name >> = dict(
    classes=<< classes | literal(12) >>,
    # The things among them: what Obj-Msk, Con-Msk and G-Cutout mask. () leaves these out.
    foreground=<< things | literal(15) >>,
    # Weights as 1 / sqrt(share of the labeled pixels), of mean 1 over these pixels and at most 10.
    decode_head=dict(
        loss_decode=dict(
            type='AnnealedCrossEntropy',
            threshold=1.0,
            ramp_up=0.0,
            class_weight=<< weights | literal(25) >>,
        )
    ),
)

files = dict(
    type='ListDataset',
    data_root=data_root,
<% if masks_here %>
    data_prefix=dict(seg_map_path='{{ fileDirname }}/masks'),
<% endif %>
    metainfo=dict(
        classes=<< name >>['classes'],
<% if palette %>
        palette=<< palette | literal(16) >>,
<% endif %>
    ),
)
image = dict(type='LoadCheckedImage'<< image >>)
masks = dict(type='LoadCheckedAnnotations'<< masks >>)
pack = dict(type='PackSegInputs')
# Side of the crops that networks are trained on, see the configs. An image that is predicted gets
# it as its short side; its labels are loaded after that, at their own size.
<< name >>_crop = << crop >>
resize = dict(type='Resize', scale=(<< 4 * crop >>, << crop >>), keep_ratio=True)

<< name >>_train = dict(
    labeled=dict(
        **files, labeled=True, ann_file=lists + '/train.txt', pipeline=[image, masks, pack]
    ),
<% if unlabeled %>
    unlabeled=dict(
        **files, labeled=False, ann_file=lists + '/unlabeled.txt', pipeline=[image, pack]
    ),
<% endif %>
)
<% for part in evaluated %>
<< name >>_<< part >> = dict(
    labeled=dict(
        **files,
        labeled=True,
        test_mode=True,
        ann_file=lists + '/<< part >>.txt',
        pipeline=[image, resize, masks, pack],
    )
)
<% endfor %>
<% if not evaluated %>
<< name >>_pipeline = [image, resize, pack]
<% endif %>

del data_root, lists, files, image, masks, resize, pack
"""
)

SUPERVISED = _ENVIRONMENT.from_string(
    """\
# << domains | join(', ', attribute='name') >>: by labels alone, the baseline.
_base_ = [
<% for base in bases %>
    '<< base >>',
<% endfor %>
]
# Images of any size train in crops of << crop >>x<< crop >>, see augmentations/weak.py. What
# is smaller is padded, and padding is in no loss.
model = dict(
    data_preprocessor=dict(size=(<< crop >>, << crop >>), size_divisor=None),
    domains=dict(
<% for domain in domains %>
        << domain.name >>={{_base_.<< domain.name >>}},
<% endfor %>
    ),
)
train_dataloader = dict(
    num_workers=<< workers >>,
    dataset=dict(
        domains=dict(
<% for domain in domains %>
            << domain.name >>={{_base_.<< domain.name >>_train}},
<% endfor %>
        ),
        augmentation=dict(
            resize=dict(scale=(<< 4 * crop >>, << crop >>)),
            crop=dict(crop_size=(<< crop >>, << crop >>)),
        ),
    ),
)
<% for split, group in (('val', validated), ('test', tested)) %>
<% if group %>
<< split >>_dataloader = dict(
    dataset=dict(
        domains=dict(
<% for domain in group %>
<% set part = split if split in domain.parts else 'val' %>
            << domain.name >>={{_base_.<< domain.name >>_<< part >>}},
<% endfor %>
        )
    )
)
<% else %>
# There is no labeled image for << 'validation' if split == 'val' else 'a test' >>.
<< split >>_dataloader = None
<< split >>_cfg = None
<< split >>_evaluator = None
<% endif %>
<% endfor %>
<% if not validated %>
# The last checkpoint is the result.
default_hooks = dict(checkpoint=dict(save_best=None))
<% endif %>
<% if untested %>
# How images are prepared that are predicted: no dataloader says it.
test_pipeline = {{_base_.<< untested[0].name >>_pipeline}}
<% endif %>
"""
)

CCT = _ENVIRONMENT.from_string(
    """\
# << domains | join(', ', attribute='name') >>: by labels and unlabeled images.
_base_ = [
    './supervised_<< name >>.py',
    '<< method >>',
]
model = dict(
    type='CCT',
    auxiliary={{_base_.<< auxiliary >>}},
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
)
<% if paramwise %>
optim_wrapper = dict(paramwise_cfg={{_base_.<< paramwise >>}})
<% endif %>
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=<< unlabeled_per_batch >>))
"""
)

RECOMMENDED = _ENVIRONMENT.from_string(
    """\
# << domains | join(', ', attribute='name') >>: the recommended recipe, CCT and a strong view.
_base_ = [
    './cct_<< name >>.py',
    '<< strong >>',
]
model = dict(strong={{_base_.recommended_strong}})
"""
)
