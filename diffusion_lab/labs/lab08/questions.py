"""The prediction questions of lab 08."""

from diffusion_lab.labs.question import Question

QUESTIONS = {
    "steps": Question(
        text="Eight noises, and each is turned into an image with 1, 2, 5, 10, 20 and 50 steps. How are the images "
             "of one noise related?",
        choices={
            "Each number of steps gives another flower.":
                "Nothing random happens after the first noise, and all of them follow the same network. Only how "
                "exactly they follow it differs.",
            "It is the same flower, at first blurred and grey, then finer and finer.":
                "With one step it is the average of all flowers that this noise could become. Colour and place are "
                "settled within a few steps, petals take longer, and after twenty or so hardly anything changes.",
            "They are the same to the last pixel: the noise is the same.":
                "The way is fixed, but a driver who looks up only twice leaves it at the first bend.",
        },
        right=1,
    ),
    "eta": Question(
        text="With eta = 1 we start three times from the <i>same</i> noise, 20 steps each. What do the three images "
             "have in common?",
        choices={
            "Everything: the noise decides.":
                "That holds for eta = 0. With eta = 1 fresh noise comes in at every step, another one each time.",
            "Next to nothing: three flowers, often of three colours.":
                "The fresh noise replaces the first one long before the petals are settled. Of the first noise "
                "only some traces are left.",
            "The flower, but not the background.":
                "Fresh noise makes no difference between petals and background: it falls on every pixel.",
        },
        right=1,
    ),
    "samplers": Question(
        text="Five samplers start from the same noise: ddim, ddpm, heun, dpmpp_2m, adams_bashforth. How many of "
             "them end at the same flower?",
        choices={
            "All five: the noise is the address.":
                "One of the five does not keep to addresses. Which of them draws random numbers on its way?",
            "Four of them.":
                "Four solve the same differential equation, more or less exactly. ddpm adds fresh noise, as ddim "
                "does with eta = 1, and ends elsewhere.",
            "None: they are different methods.":
                "They are different methods to solve the same equation, as there are many ways to compute one "
                "integral.",
        },
        right=1,
    ),
    "half_way": Question(
        text="Two independent noises have a standard deviation of 1. What is that of their mean, ½ a + ½ b?",
        choices={
            "1: the mean of two noises is a noise like any other.":
                "It is noise, but where a is large and positive, b often is not: a part of the two cancels.",
            "About 0.71.":
                "Variances add, with the squares of the weights: ¼ + ¼ = ½, and the root of that is 0.71.",
            "0.5: each of the two is halved.":
                "Each is halved, but then they are added. And not the standard deviations add, but the variances.",
            "0: they cancel.":
                "They would if b were −a. Independent noises cancel only in part.",
        },
        right=1,
    ),
    "same_noise": Question(
        text="From a noise that we know we draw a flower (50 steps), and <code>invert</code> looks for the flower's "
             "noise (50 steps). Is it ours?",
        choices={
            "Yes, but for rounding: DDIM is a map, and this is its inverse.":
                "A map has an inverse only where no two noises lead to the same image. Does the sampler lose "
                "anything on its way, perhaps in its very last step?",
            "No; but it leads to nearly the same flower.":
                "The last step throws the remaining fine noise away, so many noises lead to nearly the same image, "
                "and none of them is marked as ours.",
            "No, and it leads to another flower.":
                "Above, real flowers came back from their noise. Why should the model's own do worse?",
        },
        right=1,
    ),
    "average": Question(
        text="A trained model learns on with a high learning rate. Every 10 steps we draw from the same eight "
             "noises, once with the raw weights and once with their average. What do we see?",
        choices={
            "Both hardly change: in 10 steps a trained model learns next to nothing.":
                "It does learn next to nothing. But it moves: each batch pulls the weights in a direction of its "
                "own.",
            "The raw weights' flowers change their colours from look to look, the average's hardly do.":
                "What one batch does the next undoes, and in the average these pulls cancel.",
            "The average lags behind: its flowers are those that the raw weights drew some steps earlier.":
                "That would be so if the weights travelled somewhere. A trained model's weights mostly run in "
                "circles.",
        },
        right=1,
    ),
    "by_heart": Question(
        text="Generated flowers are, in the median, a little <i>nearer</i> to the training flowers than unseen real "
             "ones are. Has the model learned its training set by heart?",
        choices={
            "Yes, in part: otherwise it would be as far away as unseen flowers are.":
                "That is one explanation. But is there another way to be nearer to all flowers at once, without "
                "knowing any of them?",
            "No: its flowers look different from their neighbours, and that is proof enough.":
                "Eight pairs that you looked at are no proof, and the median did move. It wants an explanation.",
            "That cannot be said yet: something else, such as softer images, may bring them nearer.":
                "So we need one more comparison: unseen real flowers that are made soft in the same way.",
        },
        right=2,
    ),
}
