"""Learned video games. Importing this registers them with Gymnasium, and loads no PyTorch."""

from worldsim.envs.registration import register_envs

register_envs()
