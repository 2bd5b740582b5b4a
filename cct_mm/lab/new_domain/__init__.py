"""From folders of images and masks to a domain file and configs that train on it.

``find`` tells images from masks and pairs them by their names; ``masks`` and ``images`` look into
the files, and decide which value is which class and how images are to be read; ``split`` makes a
hold-out; ``survey`` puts this together, ``configs`` words the files, and ``write`` writes them.
"""
