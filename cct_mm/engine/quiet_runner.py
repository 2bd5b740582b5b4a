"""A runner whose screen shows what a person reads; its log file has all."""

import logging
import os.path as osp

from mmengine.dist import get_world_size, master_only
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from cct_mm.files import write_atomically
from cct_mm.quiet import quiet_losses

from .config_text import config_text

FOR_THE_FILE = (
    'Config:\n',
    'Hooks will be executed in the following order',
    'Distributed training is not used',
    'paramwise_options --',
    # This package's samplers start at any iteration, nothing is skipped one by one.
    'Advance dataloader',
    # What this package gets from mmengine and mmseg, and no user can change.
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'Loads checkpoint by',
)
"""Beginnings of messages that go to the log file alone."""


def _is_for_the_screen(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    # The latter is said of each weight of a backbone or a teacher.
    further = '\nSystem environment:' in message or message.endswith('its requires_grad=False')
    return not (message.startswith(FOR_THE_FILE) or further)


@RUNNERS.register_module()
class QuietRunner(Runner):
    """mmengine's runner, without hundreds of lines of config and environment on the screen.

    They are in the log file, and on the screen under ``log_level = 'DEBUG'``. In a config
    ``runner_type = 'QuietRunner'`` gives this runner to mmseg's tools; the tools of this package
    have it anyway.
    """

    def build_logger(self, log_level: int | str = 'INFO', **kwargs) -> MMLogger:
        """Build mmengine's logger, whose screen leaves out :data:`FOR_THE_FILE`."""
        logger = super().build_logger(log_level, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler) and handler.level > logging.DEBUG:
                handler.addFilter(_is_for_the_screen)
        return logger

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, without mmseg's advice for each loss on an argument of its own."""
        with quiet_losses():
            return super().build_model(model)

    @master_only
    def dump_config(self) -> None:
        """Write the config into the work dir, as mmengine does, but in its own order."""
        self._write_config(self.work_dir, f'{self.timestamp}.py')

    def _write_config(self, folder: str, default: str) -> None:
        # It is Python, whatever the config was.
        name = osp.splitext(osp.basename(self.cfg.filename or default))[0] + '.py'
        write_atomically(osp.join(folder, name), config_text(self.cfg))

    def _log_env(self, env_cfg: dict) -> None:
        super()._log_env(env_cfg)
        seed = '' if self.seed is None else f', seed {self.seed}'
        self.logger.info(
            f'{self.experiment_name}: {get_world_size()} process(es){seed}; config, environment '
            f'and log are in {self._log_dir}'
        )


class EvaluationRunner(QuietRunner):
    """A runner that leaves the config in the work dir as its training has written it."""

    @master_only
    def dump_config(self) -> None:
        """Write the config beside this run's log."""
        self._write_config(self._log_dir, 'config.py')
