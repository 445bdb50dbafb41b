/**
 * Length of every vector of `use-lite-en-512`. It stands alone, since importing the model itself belongs to the worker thread
 * only: its package takes 20 MB and installs handlers for uncaught exceptions where it is loaded.
 */
export const dimensions = 512;
