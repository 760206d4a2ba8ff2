/*
 * From a stream's options to libcurl's.   (transport/loop, internal)
 */
#pragma once

#include <curl/curl.h>

#include "transport/loop/stream.h"

/* Makes `easy` connect to `peer` ("host:port", IPv6 in brackets) as `options`, which were checked,
 * say. False if it does not take an option. */
bool pq_stream_setup(CURL *easy, const char *peer, const pq_stream_options *options);
