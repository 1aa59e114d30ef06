/**
 * What a picture is asked about where nobody asks anything else: the reference's question for every data set.
 *
 * @module
 */

/** Source: VisualQuality-R1 (arXiv 2505.14460), data files. */
export const ratingQuestion =
  "You are doing the image quality assessment task. Here is the question: What is your overall rating on the quality of this picture? The rating should be a float between 1 and 5, rounded to two decimal places, with 1 representing very poor quality and 5 representing excellent quality.";
