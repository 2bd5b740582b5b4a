"""mmengine's ``CheckpointHook``, which here leaves a whole checkpoint whenever the process dies."""

import os.path as osp
from collections import deque
from pathlib import Path

from mmengine import hooks
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from cct_mm.files import remove_unfinished

from .config_changes import orders
from .files import POINTER, write_durably


@register_backend('durable')
class DurableBackend(LocalBackend):
    """Local files, each written whole or not at all, and removed only on the second request.

    mmengine removes an old checkpoint before it writes the new one. This backend only notes the old
    one, and :meth:`remove_noted` removes it when the new one is on the disk.
    """

    def __init__(self) -> None:
        self._noted: list[str] = []

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file, see :func:`~cct_mm.engine.checkpoints.files.write_durably`."""
        write_durably(filepath, obj)

    def remove(self, filepath: str | Path) -> None:
        """Note a file that is no longer needed when the next one is written."""
        self._noted.append(str(filepath))

    def remove_noted(self) -> None:
        """Remove the noted files."""
        for path in self._noted:
            Path(path).unlink(missing_ok=True)
        self._noted = []


@HOOKS.register_module(force=True)
class CheckpointHook(hooks.CheckpointHook):
    """mmengine's hook, registered under the same name so that existing configs use this one.

    First the checkpoint is written, whole or not at all; then ``last_checkpoint`` names it; then
    surplus checkpoints are removed. A run that is resumed in a copied or renamed work dir writes
    and removes only there. The arguments are mmengine's. If ``out_dir`` or ``backend_args`` name
    anything but local files, the hook works as in mmengine.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._durable = (
            self.backend_args is None
            and self.file_client_args is None
            and '://' not in str(self.out_dir)
        )
        if self._durable:
            self.backend_args = dict(backend='durable')

    def before_train(self, runner) -> None:
        """Take over the file names in a resumed checkpoint if these files are in this folder."""
        super().before_train(runner)
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            runner.logger.warning(
                'CheckpointHook counts epochs (by_epoch=True), and the training counts iterations: '
                'it will write one checkpoint, at the end; set by_epoch=False and an interval in '
                'iterations'
            )
        if not self._durable:
            return
        if is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                remove_unfinished(folder)
        if self.max_keep_ckpts > 0:
            # mmengine's deque has a length limit, and drops the oldest too early.
            self.keep_ckpt_ids = deque(self.keep_ckpt_ids)
        info = runner.message_hub.runtime_info
        for key in [key for key in info if key == 'last_ckpt' or key.startswith('best_ckpt')]:
            # After the work dir was copied, this path is in the original one.
            own = osp.join(self.out_dir, osp.basename(info[key] or ''))
            info[key] = own if osp.isfile(own) else None
        if self.save_best and len(self.key_indicators) == 1:
            self.best_ckpt_path = info.get('best_ckpt')
        elif self.save_best:
            self.best_ckpt_path_dict = {
                key: info.get(f'best_ckpt_{key}') for key in self.key_indicators
            }

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note what iterations depend on, and the sorted text of the config does not tell."""
        checkpoint['meta'].update(world_size=runner.world_size, orders=orders(runner.cfg))

    def save_now(self, runner: Runner) -> None:
        """Save the iteration that is done, between two iterations."""
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        self._save_checkpoint_with_step(runner, runner.iter, meta)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        if not self._durable:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        name = self.filename_tmpl.format(step)
        self.last_ckpt = osp.join(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        if self.max_keep_ckpts > 0:
            if not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step:
                self.keep_ckpt_ids.append(step)
            # This includes those to be removed below: if the process dies before, the run that
            # resumes from this checkpoint removes them.
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_durably(Path(runner.work_dir) / POINTER, self.last_ckpt.encode())
        while 0 < self.max_keep_ckpts < len(getattr(self, 'keep_ckpt_ids', ())):
            old = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            self.file_backend.remove(osp.join(self.out_dir, old))
        self._remove_noted()

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        last = self.last_ckpt
        done = runner.epoch if self.by_epoch else runner.iter
        # mmengine writes a numbered checkpoint, too, in which the best is noted: over that of this
        # iteration, which is right, or beside an older one, where nobody has asked for it and
        # where the hooks that prepare a checkpoint do not expect one.
        if last is not None and osp.basename(last) != self.filename_tmpl.format(done):
            self.last_ckpt = None
        super()._save_best_checkpoint(runner, metrics)
        self.last_ckpt = last
        if self._durable:
            self._remove_noted()

    def _remove_noted(self) -> None:
        if is_main_process():
            self.file_backend.remove_noted()


def saves_after(runner: Runner) -> bool:
    """Tell whether a checkpoint is saved after the present iteration.

    All processes get the same answer, but mmengine calls ``before_save_checkpoint`` on the first
    one only. A hook whose preparation needs all processes calls this in ``after_train_iter``; its
    priority must be above that of the checkpoint hook.
    """
    return any(
        isinstance(hook, hooks.CheckpointHook)
        and not hook.by_epoch
        and (
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
        )
        for hook in runner.hooks
    )
