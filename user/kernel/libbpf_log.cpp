// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/libbpf_log.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <deque>
#include <mutex>
#include <string_view>
#include <vector>

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

namespace anycast {

namespace {

constexpr std::size_t kKept = 256 << 10; // a verifier log may be megabytes; its end matters

constexpr std::size_t kLine = 160; // the verifier prints all registers on one

thread_local std::string *current = nullptr;

void append(const char *format, va_list arguments)
{
	if (!current)
		return;
	va_list again;
	va_copy(again, arguments);
	const int length = std::vsnprintf(nullptr, 0, format, arguments);
	if (length > 0) {
		std::vector<char> line(static_cast<std::size_t>(length) + 1);
		std::vsnprintf(line.data(), line.size(), format, again);
		current->append(line.data(), static_cast<std::size_t>(length));
		if (current->size() > kKept)
			current->erase(0, current->size() - kKept);
	}
	va_end(again);
}

// What libbpf adds behind the verifier's own words, once for each of its layers.
bool is_repetition(std::string_view line)
{
	return line.starts_with("-- END PROG LOAD LOG") ||
	       line.starts_with("libbpf: failed to load object") ||
	       line.starts_with("libbpf: failed to load BPF skeleton");
}

int from_libbpf(libbpf_print_level level, const char *format, va_list arguments)
{
	if (level == LIBBPF_WARN)
		append(format, arguments);
	return 0;
}

int from_libxdp(libxdp_print_level level, const char *format, va_list arguments)
{
	if (level == LIBXDP_WARN)
		append(format, arguments);
	return 0;
}

} // namespace

LibbpfLog::LibbpfLog() : outer_(current)
{
	static std::once_flag once;

	std::call_once(once, [] {
		libbpf_set_print(from_libbpf);
		libxdp_set_print(from_libxdp);
	});
	current = &text_;
}

LibbpfLog::~LibbpfLog()
{
	current = outer_;
}

std::string LibbpfLog::tail(std::size_t lines) const
{
	std::deque<std::string_view> kept;
	std::string_view rest = text_;

	while (!rest.empty()) {
		const std::size_t end = std::min(rest.find('\n'), rest.size());
		const std::string_view line = rest.substr(0, end);
		rest.remove_prefix(std::min(end + 1, rest.size()));
		if (line.empty() || is_repetition(line))
			continue;
		kept.push_back(line);
		if (kept.size() > lines)
			kept.pop_front();
	}

	std::string text;
	for (const std::string_view line : kept) {
		text += text.empty() ? "    " : "\n    ";
		text += line.substr(0, kLine);
		if (line.size() > kLine)
			text += " ...";
	}
	return text;
}

} // namespace anycast
