// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// GET of a few pages: metrics and the status page on a loopback address, /marks on one of
// management. Reads only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/line_server.h"
#include "core/endpoint.h"
#include "core/prefix.h"

namespace anycast::agent {

struct Page {
	std::string type; // "text/html; charset=utf-8"
	std::function<std::string()> body;
};

struct HttpPlace {
	Endpoint at;
	const char *key;			    // "http_port": where the configuration has it
	std::optional<std::vector<Prefix>> allow{}; // nobody else; nothing: all
};
Result<std::unique_ptr<LineServer>> serve_http(Loop &loop, const HttpPlace &place,
					       std::map<std::string, Page> pages);

} // namespace anycast::agent
