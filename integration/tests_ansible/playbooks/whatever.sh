#!/bin/sh
echo "[$1] is the argument"
