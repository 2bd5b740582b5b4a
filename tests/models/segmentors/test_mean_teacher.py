"""Mean Teacher: the teacher is the average of the student, teaches it, and is what predicts."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper

from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress


@pytest.fixture
def model(make_model):
    return make_model('MeanTeacher', decay=0.6)


@pytest.fixture
def train(make_data):
    """Train as a runner does; return the states of the student after each step."""

    def train(model, steps=3, lr=0.05, seed=0):
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        wrapper, states, losses = OptimWrapper(optimizer), [], []
        model.train()
        for t in range(steps):
            set_progress(model, Progress(t, 100, 0))
            data = make_data(('day', 'night')[t % 2], seed=seed + t, views=['strong'])
            losses.append(model.train_step(data, wrapper))
            model.after_step()
            states.append(copy.deepcopy(model.state_dict()))
        return states, losses

    return train


def split(state):
    """Take the teacher out of a state; return student and teacher under the same names."""
    start = 'teacher.'
    teacher = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    return {name: state[name] for name in teacher}, teacher


class TestTeacher:
    def test_starts_as_a_copy_of_the_student(self, model):
        student, teacher = split(model.state_dict())
        assert {name.split('.')[0] for name in teacher} == {'backbone', 'domains'}
        assert all(torch.equal(student[name], teacher[name]) for name in teacher)

    def test_is_the_moving_average_of_weights_and_statistics_of_all_domains(self, model, train):
        first, _ = split(copy.deepcopy(model.state_dict()))
        states, _ = train(model)
        (one, _), (two, _), (three, teacher) = map(split, states)
        moved = 0
        for name, found in teacher.items():
            if not found.is_floating_point():
                assert torch.equal(found, three[name])
                continue
            # Weights of the old average: 1/2, then decay 0.6, which is below 2/3 and 3/4.
            expected = first[name].double() * 0.5 + one[name].double() * 0.5
            expected = 0.6 * expected + 0.4 * two[name].double()
            expected = 0.6 * expected + 0.4 * three[name].double()
            torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
            moved += not torch.equal(found, three[name])
        names = ' '.join(teacher)
        for part in ('domains.day.decode_head', 'domains.night.decode_head'):
            assert part in names
        for domain in ('day', 'night'):
            assert f'statistics.{domain}.running_mean' in names
        # Every weight and every statistic differs from the student's.
        floats = [n for n, v in teacher.items() if v.is_floating_point()]
        assert moved > 0.9 * len(floats)

    def test_moves_as_by_lerp_of_each_tensor_bit_for_bit(self, model, train):
        states, _ = train(model)
        expected = copy.deepcopy(split(states[1])[1])
        student, teacher = split(states[2])
        for name, found in teacher.items():
            if found.is_floating_point():
                assert torch.equal(expected[name].lerp_(student[name], 1 - 0.6), found), name

    def test_over_the_first_steps_is_the_plain_mean(self, make_model, train):
        model = make_model('MeanTeacher', decay=0.99)
        first, _ = split(copy.deepcopy(model.state_dict()))
        states, _ = train(model)
        all_students = [first] + [split(state)[0] for state in states]
        for name, found in split(states[-1])[1].items():
            if found.is_floating_point():
                expected = torch.stack([s[name].double() for s in all_students]).mean(dim=0)
                torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)

    def test_gets_no_gradient(self, model, make_data, losses_of):
        losses = losses_of(model, make_data('day', views=['strong']))
        sum(v for n, v in losses.items() if 'loss' in n).backward()
        assert all(p.grad is None for p in model.teacher.parameters())
        assert not any(p.requires_grad for p in model.teacher.parameters())
        assert all(p.grad is not None for p in model.backbone.parameters())

    def test_is_not_moved_by_a_forward_pass(self, model, make_data, losses_of):
        _, before = split(copy.deepcopy(model.state_dict()))
        losses_of(model, make_data('day', views=['strong']))
        _, after = split(model.state_dict())
        assert all(torch.equal(after[name], before[name]) for name in before)

    def test_is_what_predicts(self, model, train, make_data):
        train(model)
        data = make_data('night', 0, 1)
        expected = copy.deepcopy(model.teacher).eval().test_step(copy.deepcopy(data))[0]
        found = model.eval().test_step(copy.deepcopy(data))[0]
        assert torch.equal(found.seg_logits.data, expected.seg_logits.data)
        inputs = model.data_preprocessor(copy.deepcopy(data), training=False)['inputs']
        with model.active('night') as night:
            student = night.logits(model.extract_feat(inputs), (32, 48))
        assert not torch.allclose(found.seg_logits.data, student[0])
        # Raw outputs too, and a mixed batch.
        raw = model(inputs, data['data_samples'], mode='tensor')
        torch.testing.assert_close(raw[0], found.seg_logits.data)
        day = make_data('day', 0, 1)
        mixed = {key: [*day[key], *data[key]] for key in data}
        assert torch.equal(model.test_step(mixed)[1].seg_logits.data, found.seg_logits.data)

    def test_of_a_checkpoint_without_one_is_the_student(self, model, make_model):
        supervised = make_model('SupervisedSegmentor', seed=5)
        found = model.load_state_dict(supervised.state_dict(), strict=False)
        assert found.missing_keys == ['steps']
        student, teacher = split(model.state_dict())
        assert all(torch.equal(student[name], teacher[name]) for name in teacher)
        assert torch.equal(student['backbone.stem.0.weight'], supervised.backbone.stem[0].weight)

    def test_goes_on_bit_for_bit_from_a_checkpoint(self, model, make_model, train):
        train(model, steps=2)
        other = make_model('MeanTeacher', decay=0.6, seed=3)
        other.load_state_dict(model.state_dict())
        for m in (model, other):
            train(m, steps=2, seed=7)
        state = model.state_dict()
        assert all(torch.equal(v, state[name]) for name, v in other.state_dict().items())


class TestLoss:
    def test_is_the_distance_of_the_two_predictions_of_two_views(self, model, make_data, train):
        train(model)
        size = (20, 27)
        data = make_data('day', 0, 2, size=size, views=['strong'])
        images = [image.float() for image in data['inputs']]
        batch = model.data_preprocessor(data, training=True)
        student = copy.deepcopy(model).train()
        losses = model.train().loss(**batch)

        def pad(images):
            return torch.stack(
                [torch.nn.functional.pad((x - 127) / 64, (0, 5, 0, 12)) for x in images]
            )

        with student.active('day') as day:
            logits = day.logits(student.extract_feat(pad([255 - x for x in images])), (32, 32))
        teacher = student.teacher.eval()
        with teacher.active('day') as day:
            target = day.logits(teacher.extract_feat(pad(images)), (32, 32)).softmax(dim=1)
        error = (logits.softmax(dim=1) - target)[:, :, :20, :27]
        weight = model.unsupervised_weight(model.progress)
        assert weight > 0
        torch.testing.assert_close(
            losses['day.loss_unsupervised'], weight * error.square().mean(dim=1).mean()
        )

    def test_falls(self, make_model, make_data):
        model = make_model('MeanTeacher', unsupervised_weight=dict(final=1.0, length=0.0)).train()
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
        values = []
        for _ in range(30):
            values.append(model.train_step(make_data('day', views=['strong']), wrapper))
            model.after_step()
        loss = [value['loss'].item() for value in values]
        consistency = [value['day.loss_unsupervised'].item() for value in values]
        assert loss[-1] < 0.85 * loss[0]
        assert consistency[-1] < 0.5 * max(consistency)

    def test_without_the_view_names_the_transform(self, model, make_data, losses_of):
        with pytest.raises(ValueError, match=r"no view 'strong'.*type='AddView', name='strong'"):
            losses_of(model, make_data('day'))

    def test_without_unlabeled_images_is_the_supervised_one(
        self, model, make_model, make_data, losses_of
    ):
        found = losses_of(model, make_data('day', unlabeled=0))
        expected = losses_of(make_model('SupervisedSegmentor'), make_data('day', unlabeled=0))
        assert found == expected


def test_decay_out_of_range(make_model):
    with pytest.raises(ValueError, match='decay is 1.0, expected a number in'):
        make_model('MeanTeacher', decay=1.0)


def test_settings_of_a_teacher_are_those_of_the_method(make_model):
    with pytest.raises(ValueError, match='set model.decay'):
        make_model('MeanTeacher', teacher=dict(decay=0.9))
