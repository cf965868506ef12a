// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel/libbpf_log.h"

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <vector>

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

namespace anycast {

namespace {

constexpr std::size_t kKept = 256 << 10; // a verifier log may be megabytes; its end matters

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
	std::string_view text = text_;

	while (!text.empty() && text.back() == '\n')
		text.remove_suffix(1);
	std::size_t begin = text.size();
	for (; lines > 0 && begin > 0; --lines) {
		begin = text.rfind('\n', begin - 1);
		if (begin == std::string_view::npos)
			begin = 0;
	}
	text.remove_prefix(begin);

	std::string indented;
	for (const char c : text) {
		if (indented.empty() && c == '\n')
			continue;
		if (indented.empty())
			indented = "    ";
		indented += c;
		if (c == '\n')
			indented += "    ";
	}
	return indented;
}

} // namespace anycast
