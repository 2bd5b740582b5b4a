"""Obj-Msk and Con-Msk: complementary masks from the main head's prediction."""

import torch

from cct_mm import testing
from cct_mm.models.cct.perturbations import ConMsk, ObjMsk


def test_they_are_complementary(make_context):
    torch.manual_seed(0)
    z, labels = torch.randn(2, 3, 6, 7), torch.randint(0, 4, (2, 6, 7))
    objects, surroundings = ObjMsk(), ConMsk()
    context = make_context(objects, z, labels=labels)
    (without_objects,) = objects.perturb(z, objects.draw(context))
    (only_objects,) = surroundings.perturb(z, surroundings.draw(context))
    assert torch.equal(without_objects + only_objects, z)
    is_object = (labels > 0).unsqueeze(1).expand_as(z)
    assert (without_objects[is_object] == 0).all() and (without_objects[~is_object] != 0).all()
    assert (only_objects[~is_object] == 0).all() and (only_objects[is_object] != 0).all()


def test_foreground_is_the_domains_not_class_above_0(make_context):
    z, labels = torch.ones(1, 1, 1, 3), torch.tensor([[[0, 1, 2]]])
    foreground = torch.tensor([True, False, True]).view(1, 1, 1, 3)
    context = make_context(ConMsk(), z, labels=labels, foreground=foreground)
    assert ConMsk().draw(context).flatten().tolist() == [1, 0, 1]
    assert ObjMsk().draw(context).flatten().tolist() == [0, 1, 0]


def test_what_counts_is_the_most_probable_class_at_each_position_of_z():
    step = testing.example_step(dict(type='Obj-Msk'), stride=4, padding=True)
    guidance = step.target.guidance((5, 6))
    # A position stands for the block of pixels whose first corner it is.
    corner = step.target.prob[:, :, ::4, ::4].argmax(dim=1)
    assert torch.equal(guidance.labels, corner)
    assert torch.equal(guidance.valid, step.target.valid[:, :, ::4, ::4])
    assert torch.equal(guidance.foreground, (corner > 0).unsqueeze(1) & guidance.valid)
    assert not guidance.valid.all()
