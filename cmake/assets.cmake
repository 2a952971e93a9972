# Pages in programs: bundles a page's modules with esbuild and embeds the files as a table of struct web_asset (peal/web.h).
#
#   peal_assets(TARGET name SYMBOL symbol ENTRY main.jsx HTML index.html [FILES icon.svg …])
#
# makes the static library `name`; who links it includes "<symbol>.h" and has
#
#   extern const struct web_asset <symbol>[];   enum { <symbol>_count = … };
#
# with /index.html, /app.js and /app.css (ENTRY must import some CSS) and each of FILES under its own name. Every .js, .jsx and .css file
# below ENTRY's folder is a dependency. The packages are installed into node_modules/ from package-lock.json when that has changed; a
# lock keeps two builds of one source tree from doing it at once.
#
# The same file is run as a script (cmake -P) for the steps of the build.

if(CMAKE_SCRIPT_MODE_FILE)
  cmake_minimum_required(VERSION 3.25)

  if(STEP STREQUAL "install")
    # runs under flock: whoever waited finds the work done
    file(SHA256 "${ROOT}/package-lock.json" want)
    set(have "")
    if(EXISTS "${STAMP}")
      file(READ "${STAMP}" have)
    endif()
    if(NOT have STREQUAL want)
      execute_process(COMMAND "${NPM}" ci --ignore-scripts --no-audit --no-fund --loglevel=error
        WORKING_DIRECTORY "${ROOT}" RESULT_VARIABLE code)
      if(NOT code EQUAL 0)
        message(FATAL_ERROR "npm ci failed: the packages of package-lock.json could not be installed")
      endif()
    endif()
    file(WRITE "${STAMP}" "${want}")

  elseif(STEP STREQUAL "embed")
    # ASSETS: alternating path to serve and file to read
    set(types html text/html js text/javascript css text/css svg image/svg+xml png image/png json application/json
      webmanifest application/manifest+json)
    set(arrays "")
    set(table "")
    set(count 0)
    while(ASSETS)
      list(POP_FRONT ASSETS path file)
      string(REGEX REPLACE "^.*\\." "" extension "${file}")
      list(FIND types "${extension}" at)
      if(at EQUAL -1)
        message(FATAL_ERROR "${file}: no content type is known for .${extension}")
      endif()
      math(EXPR at "${at} + 1")
      list(GET types ${at} type)
      if(type MATCHES "^text/")
        string(APPEND type "; charset=utf-8")
      endif()
      file(READ "${file}" hex HEX)
      string(LENGTH "${hex}" digits)
      if(digits EQUAL 0)
        message(FATAL_ERROR "${file} is empty")
      endif()
      math(EXPR bytes "${digits} / 2")
      string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
      string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
      string(APPEND arrays "static const uint8_t bytes_${count}[${bytes}] = {\n${hex}\n};\n\n")
      string(APPEND table "    {\"${path}\", \"${type}\", bytes_${count}, sizeof bytes_${count}},\n")
      math(EXPR count "${count} + 1")
    endwhile()
    set(note "/* Made by cmake/assets.cmake. */\n")
    string(TOUPPER "${SYMBOL}_H" once)
    file(WRITE "${OUT}/${SYMBOL}.h" "${note}#ifndef ${once}\n#define ${once}\n\n#include <peal/web.h>\n\n"
      "enum { ${SYMBOL}_count = ${count} };\n\nextern const struct web_asset ${SYMBOL}[${SYMBOL}_count];\n\n#endif\n")
    file(WRITE "${OUT}/${SYMBOL}.c" "${note}#include \"${SYMBOL}.h\"\n\n${arrays}"
      "const struct web_asset ${SYMBOL}[${SYMBOL}_count] = {\n${table}};\n")
  else()
    message(FATAL_ERROR "no such step: ${STEP}")
  endif()
  return()
endif()

find_program(PEAL_NODE node REQUIRED) # what npm and esbuild run on
find_program(PEAL_NPM npm REQUIRED)
find_program(PEAL_FLOCK flock REQUIRED)
set(PEAL_ASSETS_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH PEAL_NPM_ROOT)

function(peal_assets)
  cmake_parse_arguments(A "" "TARGET;SYMBOL;ENTRY;HTML" "FILES" ${ARGN})
  foreach(need TARGET SYMBOL ENTRY HTML)
    if(NOT A_${need})
      message(FATAL_ERROR "peal_assets: ${need} is missing")
    endif()
  endforeach()

  set(lock ${PEAL_NPM_ROOT}/package-lock.json)
  if(NOT TARGET peal_npm)
    set(stamp ${PEAL_NPM_ROOT}/node_modules/.peal-stamp)
    add_custom_command(OUTPUT ${stamp}
      COMMAND ${PEAL_FLOCK} ${PEAL_NPM_ROOT}/package.json
        ${CMAKE_COMMAND} -D STEP=install -D ROOT=${PEAL_NPM_ROOT} -D STAMP=${stamp} -D NPM=${PEAL_NPM}
        -P ${PEAL_ASSETS_SCRIPT}
      DEPENDS ${lock} ${PEAL_NPM_ROOT}/package.json
      COMMENT "Installing the packages of package-lock.json" VERBATIM)
    add_custom_target(peal_npm DEPENDS ${stamp})
  endif()

  cmake_path(ABSOLUTE_PATH A_ENTRY BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE entry)
  cmake_path(ABSOLUTE_PATH A_HTML BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE html)
  cmake_path(GET entry PARENT_PATH folder)
  file(GLOB_RECURSE modules CONFIGURE_DEPENDS ${folder}/*.js ${folder}/*.jsx ${folder}/*.css)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${A_TARGET})
  file(MAKE_DIRECTORY ${out})

  add_custom_command(OUTPUT ${out}/app.js ${out}/app.css
    COMMAND ${PEAL_NPM_ROOT}/node_modules/.bin/esbuild ${entry} --bundle --minify --format=iife
      --jsx=automatic --jsx-import-source=preact --target=es2020 --charset=utf8 --log-level=warning
      --outfile=${out}/app.js
    DEPENDS ${modules} ${lock} peal_npm ${PEAL_ASSETS_SCRIPT}
    COMMENT "Bundling ${A_ENTRY}" VERBATIM)

  set(assets /index.html ${html} /app.js ${out}/app.js /app.css ${out}/app.css)
  set(files ${html})
  foreach(file ${A_FILES})
    cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
    cmake_path(GET file FILENAME name)
    list(APPEND assets /${name} ${file})
    list(APPEND files ${file})
  endforeach()
  add_custom_command(OUTPUT ${out}/${A_SYMBOL}.c ${out}/${A_SYMBOL}.h
    COMMAND ${CMAKE_COMMAND} -D STEP=embed -D SYMBOL=${A_SYMBOL} -D OUT=${out} -D "ASSETS=${assets}"
      -P ${PEAL_ASSETS_SCRIPT}
    DEPENDS ${files} ${out}/app.js ${out}/app.css ${PEAL_ASSETS_SCRIPT}
    COMMENT "Embedding ${A_SYMBOL}" VERBATIM)

  add_library(${A_TARGET} STATIC ${out}/${A_SYMBOL}.c ${out}/${A_SYMBOL}.h)
  target_include_directories(${A_TARGET} PUBLIC ${out})
  target_link_libraries(${A_TARGET} PUBLIC peal_web PRIVATE peal_flags)
endfunction()
