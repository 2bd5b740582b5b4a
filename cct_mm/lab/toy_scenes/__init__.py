"""Render ToyScenes: two small procedural domains, day and night, of 128 x 96 pixels.

``day`` has houses and cars, ``night`` lamps and persons; both have sky, ground and trees, under
different light. A handful of labeled images does not show what a few hundred do: kinds of sky and
ground, seasons, shapes, sizes, colors, occlusion, haze, lamps that are out, and the light of the
hour vary from image to image, independently of each other.

An image is made in three steps, as nature does it: surfaces with a color and a depth are painted
from far to near (``scene``, ``objects``), then light falls on them (sun and shadows, or lamps and
a dark ambience), and a camera adds haze, blur and noise (``render``). All random numbers of an
image come from its key (seed, domain, split, index), so each image can be made again alone.
``writing`` writes the data set.

The demo has the same scenes in another form, to be understood at a glance: things are 1.7 times as
large, and each image is seen through a camera of its own, with a colored filter, a contrast and an
exposure (``render_scene(..., demo=True)``).

A result depends on its data: any change of what is rendered needs a new ``GENERATOR_VERSION``.
"""

from .render import render_scene
from .writing import GENERATOR_VERSION, write_toy_scenes

__all__ = ['GENERATOR_VERSION', 'render_scene', 'write_toy_scenes']
