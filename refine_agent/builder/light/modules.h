// Owns which pybind11 a candidate sees: the part that defines modules of functions, or all of it.
#pragma once
#ifdef RA_USES_PYTHON_OBJECTS
#include "python_objects.h"
#else
#include "pybind.h"
#endif
