"""The built-in data set: pedestrians drawn from numbers alone, so that every notebook runs without a download.

How a picture is made, by `renderer`:

1. `scenes` draws the place that the camera watches, once per camera; the picture's background is a part of it.
2. `people` draws the identity: build, clothes, belongings. Three successive identities look alike from afar and differ
   in patterns and prints, which low resolution removes.
3. `bodies` poses the person at one moment of a walk and makes a body of tubes; `drawing` draws them on a canvas of
   three times the picture's size. Now and then somebody else stands at the edge.
4. `renderer` lights the canvas, adds folds and a shadow on the ground, downsamples the canvas and lays it over the
   background. `scenes` may put a pole, a car or a bush in front.
5. `cameras` turns light into a file's pixels: exposure, blur, sharpening, colour cast, noise, JPEG.

Every number is drawn from a stream named by the picture alone: a picture is the same in any order and process.
"""
